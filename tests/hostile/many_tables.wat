;; Demands fifty tables.
;; shell: retry
;; expect: refused "table"
(core module $guest
  <<50 times (table 1 funcref) >>
  (func (export "classify") (param $failure i32) (result i32) (unreachable)))
