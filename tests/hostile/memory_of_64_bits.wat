;; Addresses in 64 bits; it traps at once.
;; shell: retry
;; expect: refused "unreachable"
(core module $guest
  (memory i64 1)
  (func (export "classify") (param $failure i32) (result i32) (unreachable)))
