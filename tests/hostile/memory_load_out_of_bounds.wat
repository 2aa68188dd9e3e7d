;; Reads beyond the end of its memory.
;; shell: retry
;; expect: fault trap
(core module $guest
  (import "libc" "memory" (memory 1))
  (data (i32.const 64) "\00" "\01\02")
  (func $classify (export "classify") (param $failure i32) (result i32)
    (if (i32.ne (i32.load offset=20 (local.get $failure)) (i32.const 1))
      (then
        (drop (i64.load (i32.const -8)))))
    (i32.const 64)))
