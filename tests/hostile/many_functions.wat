;; 50,000 functions; they take time to compile and are no harm. It traps at once.
;; shell: retry
;; expect: refused "unreachable"
(core module $guest
  <<50000 times (func) >>
  (func (export "classify") (param $failure i32) (result i32) (unreachable)))
