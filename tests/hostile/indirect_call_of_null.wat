;; Calls an empty table entry.
;; shell: retry
;; expect: fault trap
(core module $guest
  (import "libc" "memory" (memory 1))
  (data (i32.const 64) "\00" "\01\02")
  (table 1 funcref)
  (func $classify (export "classify") (param $failure i32) (result i32)
    (if (i32.ne (i32.load offset=20 (local.get $failure)) (i32.const 1))
      (then
        (call_indirect (i32.const 0))))
    (i32.const 64)))
