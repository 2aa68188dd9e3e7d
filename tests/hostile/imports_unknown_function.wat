;; Imports a function that the contract does not have.
;; expect: rejected "expected a component of the world"
(component
  (import "tidegate:policy/metrics@0.2.0" (instance (export "delete-everything" (func))))
  (core module $m (func (export "f") (param i32) (result i32) (local.get 0)))
  (core instance $i (instantiate $m))
  (func (export "classify") (param "x" u32) (result u32) (canon lift (core func $i "f"))))
