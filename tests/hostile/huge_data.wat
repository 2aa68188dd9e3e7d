;; 15 MiB of data, as much as it may have memory for; it traps at once.
;; shell: retry
;; expect: refused "unreachable"
(core module $guest
  (memory 240)
  (data (i32.const 0) "<<15000000 times x>>")
  (func (export "classify") (param $failure i32) (result i32) (unreachable)))
