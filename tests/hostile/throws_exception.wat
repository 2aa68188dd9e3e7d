;; Throws an exception, which the host does not support.
;; shell: retry
;; expect: rejected "exceptions"
(core module $guest
  (tag $oops)
  (func (throw $oops))
  (func (export "classify") (param $failure i32) (result i32) (unreachable)))
