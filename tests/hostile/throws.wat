;; Throws an exception, which is not known here.
;; shell: retry
;; expect: refused "exceptions"
(core module $guest
  (tag $oops)
  (func (throw $oops))
  (func (export "classify") (param $failure i32) (result i32) (unreachable)))
