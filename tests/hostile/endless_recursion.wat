;; Recurses from the second attempt on until the stack is exhausted.
;; shell: retry
;; expect: fault memory
(core module $guest
  (import "libc" "memory" (memory 1))
  (data (i32.const 64) "\00" "\01\02")
  (func $dive (param $depth i64) (result i64)
    (i64.add (call $dive (i64.add (local.get $depth) (i64.const 1))) (i64.const 1)))
  (func (export "classify") (param $failure i32) (result i32)
    (if (i32.ne (i32.load offset=20 (local.get $failure)) (i32.const 1))
      (then (drop (call $dive (i64.const 0)))))
    (i32.const 64)))
