;; A function that is not valid.
;; shell: retry
;; expect: refused "type mismatch"
(core module $guest
  (func (result i32) (i64.const 1))
  (func (export "classify") (param $failure i32) (result i32) (unreachable)))
