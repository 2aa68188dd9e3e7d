;; Uses 64-bit addresses, which is harmless; its first call traps.
;; shell: retry
;; expect: rejected "unreachable"
(core module $guest
  (memory i64 1)
  (func (export "classify") (param $failure i32) (result i32) (unreachable)))
