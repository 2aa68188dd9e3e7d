;; Contains a function whose result has the wrong type.
;; shell: retry
;; expect: rejected "type mismatch"
(core module $guest
  (func (result i32) (i64.const 1))
  (func (export "classify") (param $failure i32) (result i32) (unreachable)))
