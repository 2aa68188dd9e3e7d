;; Passes an address outside of its memory for the body of the response.
;; shell: retry_v0_3
;; expect: fault type
(core module $guest
  (import "host" "body" (func $body (param i32)))
  (import "libc" "memory" (memory 1))
  (data (i32.const 64) "\00" "\01\02")
  (func (export "configure") (param i32 i32) (result i32) (i32.const 0))
  (func (export "classify") (param $failure i32) (result i32)
    (if (i32.ne (i32.load offset=20 (local.get $failure)) (i32.const 1))
      (then (call $body (i32.const -64))))
    (i32.const 64)))
