;; Its data begin beyond its memory.
;; shell: retry
;; expect: refused "out of bounds"
(core module $guest
  (memory 1)
  (data (i32.const 0x10000) "x")
  (func (export "classify") (param $failure i32) (result i32) (unreachable)))
