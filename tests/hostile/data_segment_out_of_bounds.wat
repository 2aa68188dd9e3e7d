;; Contains a data segment that starts beyond the end of its memory.
;; shell: retry
;; expect: rejected "out of bounds"
(core module $guest
  (memory 1)
  (data (i32.const 0x10000) "x")
  (func (export "classify") (param $failure i32) (result i32) (unreachable)))
