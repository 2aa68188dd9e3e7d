;; Exports an instance under the name of the expected function.
;; expect: rejected "expected a component of the world"
(component
  (component $c)
  (instance $i (instantiate $c))
  (export "classify" (instance $i)))
