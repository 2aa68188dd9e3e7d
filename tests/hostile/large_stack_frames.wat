;; Recurses forever with 1,000 local variables in each call.
;; shell: retry
;; expect: fault memory
(core module $guest
  (import "libc" "memory" (memory 1))
  (data (i32.const 64) "\00" "\01\02")
  (func $dive (param $n i64) (local <<1000 times i64 >>)
    (call $dive (i64.add (local.get $n) (i64.const 1)))
    (drop (i64.add (local.get 500) (local.get $n))))
  (func $classify (export "classify") (param $failure i32) (result i32)
    (if (i32.ne (i32.load offset=20 (local.get $failure)) (i32.const 1))
      (then
        (call $dive (i64.const 0))))
    (i32.const 64)))
