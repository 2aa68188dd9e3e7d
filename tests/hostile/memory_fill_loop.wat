;; Fills nearly 4 MiB forever; one instruction takes a millisecond, in which no deadline is checked.
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
          (memory.fill (i32.const 0) (i32.const 1) (i32.const 0x3c0000))
          (br $again))))
    (i32.const 64)))
