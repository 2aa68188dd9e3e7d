;; Grows its memory by 4 GiB at once.
;; shell: retry
;; expect: fault memory
(core module $guest
  (import "libc" "memory" (memory 1))
  (data (i32.const 64) "\00" "\01\02")
  (func $classify (export "classify") (param $failure i32) (result i32)
    (if (i32.ne (i32.load offset=20 (local.get $failure)) (i32.const 1))
      (then
        (if (i32.eq (memory.grow (i32.const 65535)) (i32.const -1)) (then (unreachable)))))
    (i32.const 64)))
