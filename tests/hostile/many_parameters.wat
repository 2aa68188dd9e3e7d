;; Contains a function with 2,000 parameters.
;; shell: retry
;; expect: rejected "param"
(core module $guest
  (func <<2000 times (param i32)>>)
  (func (export "classify") (param $failure i32) (result i32) (unreachable)))
