;; Traps before it can be asked anything.
;; shell: retry
;; expect: refused "unreachable"
(core module $guest
  (func $start (unreachable))
  (start $start)
  (func (export "classify") (param $failure i32) (result i32) (unreachable)))
