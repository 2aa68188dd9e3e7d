;; Converts NaN to an integer.
;; shell: retry
;; expect: fault trap
(core module $guest
  (import "libc" "memory" (memory 1))
  (data (i32.const 64) "\00" "\01\02")
  (func $classify (export "classify") (param $failure i32) (result i32)
    (if (i32.ne (i32.load offset=20 (local.get $failure)) (i32.const 1))
      (then
        (drop (i32.trunc_f64_s (f64.const nan)))))
    (i32.const 64)))
