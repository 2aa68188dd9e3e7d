;; Creates 100 instances of a core module, more instances and more memory than a component may have.
;; expect: rejected "instances"
(component
  (core module $m (memory 16))
  <<100 times (core instance (instantiate $m)) >>
  (core module $f (func (export "f") (param i32) (result i32) (local.get 0)))
  (core instance $i (instantiate $f))
  (func (export "classify") (param "x" u32) (result u32) (canon lift (core func $i "f"))))
