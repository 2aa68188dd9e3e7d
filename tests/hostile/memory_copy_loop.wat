;; Copies nearly 2 MiB back and forth forever.
;; shell: retry
;; expect: fault deadline
(core module $guest
  (import "libc" "memory" (memory 1))
  (data (i32.const 64) "\00" "\01\02")
  (func $classify (export "classify") (param $failure i32) (result i32)
    (if (i32.ne (i32.load offset=20 (local.get $failure)) (i32.const 1))
      (then
        (drop (memory.grow (i32.const 56)))
        (loop $again
          (memory.copy (i32.const 0x1e0000) (i32.const 0) (i32.const 0x1e0000))
          (memory.copy (i32.const 0) (i32.const 0x1e0000) (i32.const 0x1e0000))
          (br $again))))
    (i32.const 64)))
