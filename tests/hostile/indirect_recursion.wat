;; Recurses forever through a table.
;; shell: retry
;; expect: fault memory
(core module $guest
  (import "libc" "memory" (memory 1))
  (data (i32.const 64) "\00" "\01\02")
  (table 1 funcref)
  (elem (i32.const 0) $dive)
  (func $dive (result i32)
    (i32.add (call_indirect (result i32) (i32.const 0)) (i32.const 1)))
  (func $classify (export "classify") (param $failure i32) (result i32)
    (if (i32.ne (i32.load offset=20 (local.get $failure)) (i32.const 1))
      (then
        (drop (call_indirect (result i32) (i32.const 0)))))
    (i32.const 64)))
