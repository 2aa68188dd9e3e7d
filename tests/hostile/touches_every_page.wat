;; Writes to every page of its memory forever.
;; shell: retry
;; expect: fault deadline
(core module $guest
  (import "libc" "memory" (memory 1))
  (data (i32.const 64) "\00" "\01\02")
  (func $classify (export "classify") (param $failure i32) (result i32) (local $at i32)
    (if (i32.ne (i32.load offset=20 (local.get $failure)) (i32.const 1))
      (then
        (drop (memory.grow (i32.const 56)))
        (loop $again
          (i32.store (i32.and (local.get $at) (i32.const 0x1fffff)) (i32.const 1))
          (local.set $at (i32.add (local.get $at) (i32.const 4096)))
          (br $again))))
    (i32.const 64)))
