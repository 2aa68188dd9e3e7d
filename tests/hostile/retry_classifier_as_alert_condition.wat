;; A retry policy where an alert condition is expected.
;; shell: retry
;; expect: rejected "this one is of the world `retry`"
;; kind: alerts
(core module $guest
  (func (export "classify") (param $failure i32) (result i32)
    (i32.const 64)))
