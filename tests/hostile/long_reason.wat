;; Returns a reason of 1,000 bytes times the attempt number: 1,000 times `x` for the first attempt. The memory after
;; these bytes holds null bytes, which are valid UTF-8.
;; shell: retry
;; expect: verdict
(core module $guest
  (import "libc" "memory" (memory 1))
  ;; A verdict whose reason starts at address 256. `classify` writes the length of the reason.
  (data (i32.const 64) "\00" "\01\02")
  (data (i32.const 88) "\01\00\00\00" "\00\01\00\00")
  (func (export "classify") (param $failure i32) (result i32)
    (memory.fill (i32.const 256) (i32.const 120) (i32.const 1000))
    (i32.store (i32.const 96) (i32.mul (i32.load offset=20 (local.get $failure)) (i32.const 1000)))
    (i32.const 64)))
