;; Calls a table entry with a type that is not the function's.
;; shell: retry
;; expect: fault trap
(core module $guest
  (import "libc" "memory" (memory 1))
  (data (i32.const 64) "\00" "\01\02")
  (table 1 funcref)
  (elem (i32.const 0) $nothing)
  (func $nothing)
  (func $classify (export "classify") (param $failure i32) (result i32)
    (if (i32.ne (i32.load offset=20 (local.get $failure)) (i32.const 1))
      (then
        (call_indirect (param i64) (i64.const 1) (i32.const 0))))
    (i32.const 64)))
