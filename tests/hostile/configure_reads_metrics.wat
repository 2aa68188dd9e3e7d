;; Reads metrics while it receives its settings, when there are no metrics to read.
;; shell: retry_v0_2
;; expect: rejected "outside of a call"
(core module $guest
  (import "host" "window" (func $window (param i64 i32)))
  (import "libc" "memory" (memory 1))
  (data (i32.const 64) "\00" "\01\02")
  (func (export "configure") (param $settings i32) (param $count i32) (result i32)
    (call $window (i64.const 60000) (i32.const 1024))
    (i32.const 0))
  (func (export "classify") (param $failure i32) (result i32) (i32.const 64)))
