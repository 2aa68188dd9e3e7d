;; Recurses forever by tail calls, which use no stack.
;; shell: retry
;; expect: fault deadline
(core module $guest
  (import "libc" "memory" (memory 1))
  (data (i32.const 64) "\00" "\01\02")
  (func $again (return_call $again))
  (func $classify (export "classify") (param $failure i32) (result i32)
    (if (i32.ne (i32.load offset=20 (local.get $failure)) (i32.const 1))
      (then
        (call $again)))
    (i32.const 64)))
