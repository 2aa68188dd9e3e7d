;; Contains 50,000 functions, which take time to compile and are harmless; its first call traps.
;; shell: retry
;; expect: rejected "unreachable"
(core module $guest
  <<50000 times (func) >>
  (func (export "classify") (param $failure i32) (result i32) (unreachable)))
