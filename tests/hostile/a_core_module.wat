;; A core module that does not say what it was made of.
;; expect: refused "expected"
(module (func (export "classify") (param i32) (result i32) (i32.const 0)))
