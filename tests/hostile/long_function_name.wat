;; Contains a start function with a name of 100,000 characters, which traps.
;; shell: retry
;; expect: rejected "unreachable"
(core module $guest
  (func $<<100000 times x>> (export "x") (unreachable))
  (start $<<100000 times x>>)
  (func (export "classify") (param $failure i32) (result i32) (unreachable)))
