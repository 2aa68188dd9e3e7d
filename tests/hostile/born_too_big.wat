;; Demands 1 GiB before its first instruction.
;; shell: retry
;; expect: refused "memory"
(core module $guest
  (memory 16384)
  (func (export "classify") (param $failure i32) (result i32) (unreachable)))
