;; Contains an element segment that starts beyond the end of its table.
;; shell: retry
;; expect: rejected "out of bounds"
(core module $guest
  (table 1 funcref)
  (elem (i32.const 1) $nothing)
  (func $nothing)
  (func (export "classify") (param $failure i32) (result i32) (unreachable)))
