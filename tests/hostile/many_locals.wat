;; Contains a function with 60,000 local variables, more than Wasm allows.
;; shell: retry
;; expect: rejected "locals"
(core module $guest
  (func <<60000 times (local i32)>>)
  (func (export "classify") (param $failure i32) (result i32) (unreachable)))
