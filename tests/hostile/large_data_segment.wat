;; Contains 3 MiB of data, nearly as much as its memory may hold; its first call traps.
;; shell: retry
;; expect: rejected "unreachable"
(core module $guest
  (memory 48)
  (data (i32.const 0) "<<3000000 times x>>")
  (func (export "classify") (param $failure i32) (result i32) (unreachable)))
