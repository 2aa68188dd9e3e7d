;; Nests blocks 20,000 levels deep, which is harmless; its first call traps.
;; shell: retry
;; expect: rejected "unreachable"
(core module $guest
  (func
    <<20000 times block >>
    <<20000 times end >>)
  (func (export "classify") (param $failure i32) (result i32) (unreachable)))
