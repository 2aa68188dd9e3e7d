;; Exports something else under the name of the function.
;; expect: refused "expected a component of the world"
(component
  (component $c)
  (instance $i (instantiate $c))
  (export "classify" (instance $i)))
