;; A function of a megabyte; it takes time to compile and is no harm. It traps at once.
;; shell: retry
;; expect: refused "unreachable"
(core module $guest
  (func (local i64)
    <<150000 times (local.set 0 (i64.add (local.get 0) (i64.const 7)))>>)
  (func (export "classify") (param $failure i32) (result i32) (unreachable)))
