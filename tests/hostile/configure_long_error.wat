;; Rejects its settings with an error of 60,000 bytes; the host keeps 512 bytes.
;; shell: retry_v0_2
;; expect: rejected "the policy rejected its settings"
(core module $guest
  (import "libc" "memory" (memory 1))
  (data (i32.const 64) "\00" "\01\02")
  (data (i32.const 128) "\01\00\00\00" "\00\04\00\00" "\60\ea\00\00")
  (func (export "configure") (param $settings i32) (param $count i32) (result i32)
    (i32.const 128))
  (func (export "classify") (param $failure i32) (result i32) (i32.const 64)))
