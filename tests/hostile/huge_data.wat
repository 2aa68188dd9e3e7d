;; 3 MiB of data, nearly as much as it may have memory for; it traps at once.
;; shell: retry
;; expect: refused "unreachable"
(core module $guest
  (memory 48)
  (data (i32.const 0) "<<3000000 times x>>")
  (func (export "classify") (param $failure i32) (result i32) (unreachable)))
