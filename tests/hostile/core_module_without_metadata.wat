;; A core module without a component's metadata.
;; expect: rejected "expected"
(module (func (export "classify") (param i32) (result i32) (i32.const 0)))
