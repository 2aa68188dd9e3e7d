;; A function with 60,000 variables, more than any may have.
;; shell: retry
;; expect: refused "locals"
(core module $guest
  (func <<60000 times (local i32)>>)
  (func (export "classify") (param $failure i32) (result i32) (unreachable)))
