;; Rejects its settings with an error that is not UTF-8.
;; shell: retry_v0_2
;; expect: rejected "utf-8"
(core module $guest
  (import "libc" "memory" (memory 1))
  (data (i32.const 64) "\00" "\01\02")
  (data (i32.const 128) "\01\00\00\00" "\8c\00\00\00" "\02\00\00\00" "\ff\fe")
  (func (export "configure") (param $settings i32) (param $count i32) (result i32)
    (i32.const 128))
  (func (export "classify") (param $failure i32) (result i32) (i32.const 64)))
