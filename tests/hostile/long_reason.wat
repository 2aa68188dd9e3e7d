;; Its reason is as many bytes long as the attempt has thousands: 1,000 "x" for the first attempt. The memory beyond
;; them is zeros, which are valid text.
;; shell: retry
;; expect: answer
(core module $guest
  (import "libc" "memory" (memory 1))
  ;; A verdict whose reason starts at 256, of a length that is written before each answer.
  (data (i32.const 64) "\00" "\01\02")
  (data (i32.const 88) "\01\00\00\00" "\00\01\00\00")
  (func (export "classify") (param $failure i32) (result i32)
    (memory.fill (i32.const 256) (i32.const 120) (i32.const 1000))
    (i32.store (i32.const 96) (i32.mul (i32.load offset=20 (local.get $failure)) (i32.const 1000)))
    (i32.const 64)))
