;; Gives up with the body of the response as its reason. Without a body, it abstains.
;; shell: retry_v0_3
;; expect: verdict
(core module $guest
  (import "host" "body" (func $body (param i32)))
  (import "libc" "memory" (memory 1))
  (data (i32.const 64) "\02")
  (data (i32.const 128) "\01" "\01\04")
  (func (export "configure") (param i32 i32) (result i32) (i32.const 0))
  (func (export "classify") (param $failure i32) (result i32)
    ;; The body has the same form as the reason at byte 24 of the verdict.
    (call $body (i32.const 152))
    (if (result i32) (i32.load8_u (i32.const 152))
      (then (i32.const 128))
      (else (i32.const 64)))))
