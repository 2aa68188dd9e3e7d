;; Traps in its start function, before any call.
;; shell: retry
;; expect: rejected "unreachable"
(core module $guest
  (func $start (unreachable))
  (start $start)
  (func (export "classify") (param $failure i32) (result i32) (unreachable)))
