;; Contains a function of 1 MB, which takes time to compile and is harmless; its first call traps.
;; shell: retry
;; expect: rejected "unreachable"
(core module $guest
  (func (local i64)
    <<150000 times (local.set 0 (i64.add (local.get 0) (i64.const 7)))>>)
  (func (export "classify") (param $failure i32) (result i32) (unreachable)))
