;; A retry policy where an admission policy is expected.
;; shell: retry_v0_2
;; expect: rejected "this one is of the world `retry`"
;; kind: admit
(core module $guest
  (func (export "configure") (param i32 i32) (result i32) (i32.const 0))
  (func (export "classify") (param $failure i32) (result i32)
    (i32.const 64)))
