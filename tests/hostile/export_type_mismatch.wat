;; Exports a function that returns a number instead of a verdict.
;; expect: rejected "expected a component of the world"
(component
  (core module $m (func (export "f") (param i32) (result i32) (local.get 0)))
  (core instance $i (instantiate $m))
  (func (export "classify") (param "x" u32) (result u32) (canon lift (core func $i "f"))))
