;; Traps while it receives its settings.
;; shell: retry_v0_2
;; expect: rejected "unreachable"
(core module $guest
  (import "libc" "memory" (memory 1))
  (data (i32.const 64) "\00" "\01\02")
  (func (export "configure") (param $settings i32) (param $count i32) (result i32)
    (unreachable))
  (func (export "classify") (param $failure i32) (result i32) (i32.const 64)))
