;; Reads the body of a response while it receives its settings.
;; shell: retry_v0_3
;; expect: rejected "outside of a call"
(core module $guest
  (import "host" "body" (func $body (param i32)))
  (import "libc" "memory" (memory 1))
  (data (i32.const 64) "\00" "\01\02")
  (func (export "configure") (param i32 i32) (result i32)
    (call $body (i32.const 1024))
    (i32.const 0))
  (func (export "classify") (param $failure i32) (result i32) (i32.const 64)))
